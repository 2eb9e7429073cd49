"""Language: models of text, from their layers to what is sampled from them. They need torch."""
