"""Panels to drag: controls above one picture. The only importer of ipywidgets."""
