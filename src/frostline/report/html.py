"""report.html: the report as one file that needs no network, with charts to look into."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markdown_it import MarkdownIt

from frostline.report.interactive import charts
from frostline.report.judged import Judged
from frostline.report.looks import Look


def report_html(name: str, text: str, judged: Sequence[Judged], look: Look, pictures: Mapping[str, bytes]) -> str:
    """name: of the study. text: its report.md. pictures: the PNG files that this shows, by name.

    What stands in names and texts is escaped; of Markdown no HTML is taken.
    """
    from plotly.offline import get_plotlyjs

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    for picture, content in pictures.items():
        inline = f"data:image/png;base64,{base64.b64encode(content).decode()}"
        body = body.replace(f'src="plots/{picture}"', f'src="{inline}"')
    body = body.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    head, _, rest = body.partition("<h2>")
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8")
    )
    panels: list[dict[str, Any]] = [{"where": one.panel.where, "charts": charts(one, look)} for one in judged]
    return page.render(name=name, head=head, rest="<h2>" + rest, panels=panels, plotly=get_plotlyjs())
