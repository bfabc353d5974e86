"""Loading: pictures and queries from the store for pre-training, COCO data for fine-tuning."""
