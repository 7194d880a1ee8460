"""The pages that people see: one module a page, each a blueprint of module-level views."""
