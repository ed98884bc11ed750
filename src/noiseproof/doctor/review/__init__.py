"""Review: one offline page to decide about suspects, and what the decisions tell about the rest."""

from __future__ import annotations

from noiseproof.doctor.review.page import review_page
from noiseproof.doctor.review.review_progress import ReviewProgress, review_progress

__all__ = ["ReviewProgress", "review_page", "review_progress"]
