//! End-to-end tests: real sockets, scripted upstreams, one file per capability.
