"""The HTML report: values, charts and one page that loads nothing."""
