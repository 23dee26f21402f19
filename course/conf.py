"""What Sphinx has to know of the site that `make site` builds: every page is whole, and nothing is fetched."""

import os

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

project = html_title = "Batch Size, Measured"
copyright = "2026, text and figures under CC BY 4.0, code under the MIT license"
extensions = ["myst_nb"]
root_doc = "index"
html_theme = "furo"
html_static_path = [os.path.join(os.path.dirname(__file__), "site.css")]
html_css_files = ["site.css"]
html_show_sphinx = html_copy_source = False
html_math_renderer = "mathml"
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebooks are stored executed
nb_ipywidgets_js = {}  # no kernel, no widgets: panels are pictures
suppress_warnings = ["myst.header", "myst.xref_missing"]  # what is in the repository only loses its link


def formula(self, node) -> None:
    """MathML, which browsers draw without a script."""
    self.body.append(convert(node.astext(), display="block" if node.tagname == "math_block" else "inline"))
    raise SkipNode


def setup(app) -> None:
    app.add_html_math_renderer("mathml", (formula, None), (formula, None))
