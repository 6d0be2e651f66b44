"""Sphinx's settings for the course site; tools/course_site.py lays out the pages and starts Sphinx."""

import reference
from docutils import nodes
from latex2mathml.converter import convert

project = "coursekit"
html_title = "Profiling, quantization and model optimisation"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx.ext.githubpages",
]
html_theme = "sphinx_book_theme"
html_static_path = ["_static"]
html_css_files = ["course.css"]
html_theme_options = {
    "navbar_persistent": [],  # a second search field above the one at the side
    "show_navbar_depth": 1,
    "extra_footer": "Code: MIT. Text and pictures: CC BY 4.0.",
    "footer_content_items": ["extra-footer"],
    "toc_title": "On this page",
    "use_download_button": False,
    "use_fullscreen_button": False,
}
html_context = {"default_mode": "auto"}
html_show_sourcelink = html_copy_source = False
html_show_sphinx = False
language = "en"
highlight_language = "text"
suppress_warnings = ["myst.header", "autosummary.import_cycle"]
nitpicky = True
# Types of numpy, torch and matplotlib are described elsewhere, and the site is built without a network.
nitpick_ignore_regex = [("py:.*", ".*")]

# The reference: signatures short enough to read, and what docstrings say in prose taken as prose.
add_module_names = False
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autosummary_generate = False
maximum_signature_line_length = 90
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# The pages show what the notebooks stored: nothing runs, and a panel is its picture.
nb_execution_mode = "off"
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
nb_ipywidgets_js = {}
myst_enable_extensions = ["dollarmath"]
myst_update_mathjax = False
myst_heading_anchors = 3
# MathML, made now: browsers draw it by themselves, so that no page waits for a script.
html_math_renderer = "mathml"


def setup(app):
    """Register the renderer for formulas."""
    app.add_html_math_renderer("mathml", (_formula("inline"), None), (_formula("block"), None))
    app.connect("autodoc-process-docstring", _prose, priority=100)  # before numpydoc
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-skip-member", _skipped)


def _prose(app, kind, name, thing, options, lines):
    """Let stars, bars and backticks of a docstring mean themselves: it is plain text with ``code``."""
    lines[:] = [line if line.lstrip().startswith((">>>", "...")) else reference.plain(line) for line in lines]


def _signature(app, kind, name, thing, options, signature, returns):
    """Name types as the source does."""
    return tuple(None if each is None else reference.short(each) for each in (signature, returns))


def _skipped(app, kind, name, thing, skip, options):
    """Leave out what a named tuple says about its fields by itself."""
    return True if str(getattr(thing, "__doc__", "")).startswith("Alias for field") else None


def _formula(display):
    def visit(translator, node):
        tag = "div" if display == "block" else "span"
        formula = convert(node.astext(), display=display)
        translator.body.append(f'<{tag} class="formula">{formula}</{tag}>')
        raise nodes.SkipNode

    return visit
