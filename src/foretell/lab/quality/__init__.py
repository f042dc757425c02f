"""Quality: tasks with known right answers, what judges the answers, and how sure the figures are."""
