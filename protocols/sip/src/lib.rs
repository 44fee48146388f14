//! SIP/SIMPLE wire layer and sans-IO engines.
