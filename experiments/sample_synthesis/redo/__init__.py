"""ReDO: masks of objects learned from unlabelled pictures by redrawing regions (PyTorch).

Chen, Artieres, Denoyer: Unsupervised Object Segmentation by Redrawing, NeurIPS 2019, arXiv 1905.13539.
"""
