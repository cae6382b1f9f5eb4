//! lanyard-sim
