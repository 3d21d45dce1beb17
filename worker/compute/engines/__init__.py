"""Engines that run an expert: images in, raw logits out, behind one interface."""
