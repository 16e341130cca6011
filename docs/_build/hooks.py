"""What the site is made of besides the pages in docs/: README, results, the gallery, and pages nobody put in the menu.

MkDocs calls the functions below; `strict` in mkdocs.yml makes each warning an error.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "baselines" / "results"
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
"""Of the repository's root, shown as they are."""
SHIM = "https://unpkg.com/iframe-worker/shim"
FIRST = ("validation.md", "confirmation.md", "hundreds-logistic_regression.md", "ablation.md", "dev.md", "rivals.md")
TUTORIALS = ("cluster.md", "cryo-em.md")
"""Pages of docs/ that belong there, where they are."""
FAMILIES = {
    "uncertainty": "Doubt: where the model does not know.",
    "diversity": "Spread: points that stand for many others.",
    "gradient": "Doubt and spread in one: what would move the model most.",
    "open set": "Pools in which some points are of no class that was asked for. Those of the clump on the upper right were "
    "turned down (crosses).",
}


def on_config(config: Any) -> Any:
    """The menu: results, and pages of docs/ that mkdocs.yml does not name."""
    named = set(re.findall(r"[\w./-]+\.md", str(config["nav"])))
    further = sorted(path.name for path in (ROOT / "docs").glob("*.md") if path.name not in named)
    for part in config["nav"]:
        if "Results" in part:
            part["Results"] = ["results/README.md", *(f"results/{path.name}" for path in _results())]
        if "Tutorials" in part:
            part["Tutorials"] += [name for name in TUTORIALS if name in further]
        if "Guides" in part:
            part["Guides"] += [name for name in further if name not in TUTORIALS]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Pages that are made here, and files from elsewhere."""
    add = {"index.md": _moved((ROOT / "README.md").read_text("utf-8")), "gallery.md": _gallery()}
    for name in PAGES:
        add[name] = _moved((ROOT / name).read_text("utf-8"))
    for name, text in add.items():
        files.append(File.generated(config, name, content=text))
    for path in sorted(RESULTS.iterdir()):
        files.append(File.generated(config, f"results/{path.name}", abs_src_path=str(path)))
    for path in sorted((ROOT / "configs").glob("*.toml")):
        files.append(File.generated(config, f"configs/{path.name}", abs_src_path=str(path)))
    for name in ("CITATION.cff", "LICENSE"):
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links that hold in the repository, as they are on the site."""
    # ../baselines/results/x.md from docs/ is results/x.md here: one step up less. The same of configs and of the root.
    markdown = re.sub(r"\]\(((?:\.\./)*)\.\./baselines/results/", r"](\1results/", markdown)
    markdown = re.sub(r"\]\(((?:\.\./)*)\.\./configs/", r"](\1configs/", markdown)
    markdown = re.sub(r"\]\(((?:\.\./)*)\.\./docs/", r"](\1", markdown)
    for name in (*PAGES, "README.md"):
        markdown = re.sub(rf"\]\(((?:\.\./)*)\.\./{name}", rf"](\1{'index.md' if name == 'README.md' else name}", markdown)
    return markdown


def _results() -> list[Path]:
    others = [path for path in sorted(RESULTS.glob("*.md")) if path.name not in FIRST and path.name != "README.md"]
    return [RESULTS / name for name in FIRST] + others


def _moved(text: str) -> str:
    """A page of the repository's root as it is inside docs/."""
    return text.replace("](docs/", "](").replace("](baselines/results/", "](results/")


def _gallery() -> str:
    """Every strategy: its picture, its docstring, what it reads and costs."""
    from autoal.strategies import CANDIDATES

    lines = [
        "# Gallery: what each strategy asks for",
        "",
        "Fifteen points (red) that each strategy alone asks for on one and the same pool of 420 (grey), with twelve labels of three "
        "classes (blue, orange, green) and a small network with dropout. A pool of two dimensions shows the idea of a strategy, and "
        "not whether it is good: for that see the [results](results/README.md). Strategies for regressions see the same points "
        "with a smooth target.",
        "",
        '<div class="gallery" markdown>',
        '<figure markdown id="autoal">![autoal](pictures/gallery/autoal.svg)<figcaption markdown>**autoal** doubt times coverage, '
        "with the default candidates: [how it works](how-it-works.md)</figcaption></figure>",
        "</div>",
        "",
    ]
    for family, says in FAMILIES.items():
        lines += [f"## {family.capitalize()}", "", says, "", '<div class="gallery" markdown>']
        for name, strategy in CANDIDATES.items():
            if strategy.family == family:
                first = re.split(r"\n\s*\n", inspect.cleandoc(strategy.__doc__ or ""))[0].replace("\n", " ")
                first = first.replace("<", "&lt;").replace("*", r"\*").replace("_", r"\_").replace("[", r"\[")
                reads = ", ".join(sorted(strategy().needs)) or "nothing"
                source = strategy.source.replace("<", "&lt;")
                lines.append(
                    f'<figure markdown id="{name}">![{name}](pictures/gallery/{name}.svg)<figcaption markdown>**{name}** {first} '
                    f"<small>Reads {reads.replace('_', ' ')}; cost {strategy.cost.replace('*', chr(92) + '*')}. {source}</small>"
                    "</figcaption></figure>"
                )
        lines += ["</div>", ""]
    return "\n".join(lines)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """The theme fetches one script from elsewhere where a page is opened from a disk; it lies beside the pages here."""
    return output.replace(SHIM, f"{'../' * page.url.count('/')}_site/iframe-worker.js")


def on_post_template(output: str, **_: Any) -> str:
    """The same of the page for addresses that are not there."""
    return output.replace(SHIM, "_site/iframe-worker.js")
