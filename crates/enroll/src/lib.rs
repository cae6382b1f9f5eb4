//! lanyard-enroll
