//! Tables from the RFCs' rules, and properties against a naive model.

mod documents;
mod lists;
mod mirroring;
mod model;
mod selectors;
