"""Reporting: records to tables, figures and the report page."""
