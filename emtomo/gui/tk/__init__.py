"""Thin views of :mod:`emtomo.gui.core`; the only place that imports tkinter. No view holds science or state."""
