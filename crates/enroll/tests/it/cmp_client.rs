//! Our client: against our server engine, and against OpenSSL's mock server.
