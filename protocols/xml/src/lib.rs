//! Strict, bounded XML gate and writer over quick-xml.
