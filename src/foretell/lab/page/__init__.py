"""What pages of results are made of: elements and axes of SVG, cards, tables, style, pictures."""
