//! The backend against SoftHSM2, directly and behind p11-kit's server, with OpenSC's pkcs11-tool as another user.
//!
//! A PKCS#11 library has one state per process and reads its configuration from the environment, so each test runs in
//! a process of its own, with a token directory of its own: [`place::alone`] starts this binary again for one test.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod loss;
#[cfg(test)]
mod place;
