//! Protocol engines against the peers that nobody here wrote.

#[cfg(test)]
mod cmp_client;
#[cfg(test)]
mod cmp_host;
#[cfg(test)]
mod cmp_openssl;
#[cfg(test)]
mod hospital;
