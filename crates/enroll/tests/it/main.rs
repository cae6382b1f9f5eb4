//! Integration tests over the public API: each protocol's client against its server, and the peers that nobody here wrote.

#[cfg(test)]
mod acme;
#[cfg(test)]
mod cmp_client;
#[cfg(test)]
mod cmp_host;
#[cfg(test)]
mod cmp_openssl;
#[cfg(test)]
mod est;
#[cfg(test)]
mod hospital;
#[cfg(test)]
mod offline;
#[cfg(test)]
mod scep;
