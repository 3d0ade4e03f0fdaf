"""Where ticks come from: WebSocket, floorsheet files and the simulator; all end in one Kafka producer."""
