"""Documents as one HTML page."""

import re
from collections.abc import Sequence
from importlib.resources import files

from skcovid._base._document import Part, Section, one_line


def render_html(
    title: str,
    lead: Sequence[Part],
    description: str,
    warning: str,
    sections: Sequence[Section],
) -> str:
    """Write sections as a page that loads nothing and runs no script.

    The lead stands in front of all else.
    """
    import jinja2
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else one_line(value),
    )
    # HTML in the text is escaped: only Markdown's own elements are markup.
    markdown = MarkdownIt("commonmark", {"html": False})
    environment.filters["markdown"] = lambda text: Markup(markdown.render(text))
    # A figure and its interval stay on one line each.
    environment.filters["whole"] = lambda text: re.sub(
        r"(?<=\d)(,?) (?=%|-?[\d.]+\])", "\\1\xa0", text
    )
    environment.filters["kind"] = lambda part: type(part).__name__
    template = files(__package__).joinpath("report.html.jinja")
    return environment.from_string(template.read_text(encoding="utf-8")).render(
        title=title,
        lead=lead,
        description=description,
        warning=warning,
        sections=sections,
    )
