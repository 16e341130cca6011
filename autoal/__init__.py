"""autoal: which points should I label next, and who decides how?"""
