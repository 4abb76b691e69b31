"""Settings of the documentation site. Build it with ``make docs``."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import jieba

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from ecs_role_creds import __version__

# It splits Chinese text for the search, and logs to standard error how it loads.
jieba.setLogLevel(logging.WARNING)

project = "ecs_role_creds"
author = "The ecs_role_creds developers"
copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    # from docs/_ext
    "languages",
    "llms_txt",
    "mermaid_images",
    "plots_for_both_backgrounds",
    "root_files",
    "untranslated_values",
]
root_doc = "index"
exclude_patterns = ["_ext", "_static", "_templates", "locales"]
templates_path = ["_templates"]

# Client SDKs of the adapters, not imported: two of them cannot be installed with the others.
autodoc_mock_imports = [
    "aiobotocore",
    "alibabacloud_credentials",
    "alibabacloud_credentials_api",
    "alibabacloud_tea_openapi",
    "aliyunsdkcore",
    "botocore",
    "darabonba",
    "obstore",
    "ossfs",
    "polars",
]

# Every name in a docstring's markup must resolve, except those of other packages: their
# inventories would have to be downloaded.
nitpicky = True
_OTHER_PACKAGES = [
    *autodoc_mock_imports,
    "alibabacloud_oss_v2",
    "collections",
    "datetime",
    "logging",
    "oss2",
    "pytest",
    "requests",
    "responses",
    "typing",
]
# Type aliases and protocols, which signatures show by name.
_ALIASES = [
    "AsyncClient",
    "Authority",
    "Clock",
    "Condition",
    "FakeInstance",
    "FakeMetadataService",
    "FakePolicy",
    "FakeRole",
    "Kind",
    "Policies",
    "Provider",
    "RequestsMock",
    "S3Credential",
    "StartThread",
    "WallClock",
    "_Self",
]
nitpick_ignore_regex = [
    ("py:.*", rf"({'|'.join(_OTHER_PACKAGES)})\b.*"),
    ("py:class", rf"(.*\.)?({'|'.join(_ALIASES)})"),
]

myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]

napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
python_use_unqualified_type_names = True
maximum_signature_line_length = 60

# Prompts are not part of the command that is copied.
copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True
copybutton_line_continuation_character = "\\"

# Translations: one catalogue a page, without line numbers, so that a catalogue changes only where
# the text does.
locale_dirs = ["locales"]
gettext_compact = False
gettext_location = False
gettext_uuid = False

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = f"{project} {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = True
html_show_sphinx = False
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/languages.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
html_context = {
    "summary": (
        "Credentials of an ECS instance's RAM role, for Python applications on Alibaba Cloud."
    )
}
