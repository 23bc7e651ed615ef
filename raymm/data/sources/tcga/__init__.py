"""TCGA's public pan-cancer tables, as UCSC Xena and the GDC give them out: a packed data set."""
