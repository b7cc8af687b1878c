"""One file per page, plain functions; forms beside their page."""
