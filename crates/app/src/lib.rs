//! The use cases of Miaosha, a verb per file, over ports.
