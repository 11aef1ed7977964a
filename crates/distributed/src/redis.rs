//! Redis Cluster: the gate, news of commits, the people cap.
