//! The SIP front. `listen` holds the sockets; the rest is under construction by its helper.
mod listen;
