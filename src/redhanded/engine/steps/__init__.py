"""The steps a study is made of."""
