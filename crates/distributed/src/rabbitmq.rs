//! RabbitMQ: accepted requests on their way, and wake-ups for deadlines.
