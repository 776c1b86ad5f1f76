//! JSON texts (RFC 8259) as bytes: validated without building a tree, tokens never changed.
