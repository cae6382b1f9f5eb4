//! lanyard-control
