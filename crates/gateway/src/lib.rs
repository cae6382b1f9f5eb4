//! lanyard-gateway
