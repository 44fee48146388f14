//! RVP, the Exchange 2000 Instant Messaging protocol: wire types, client and notification targets.
