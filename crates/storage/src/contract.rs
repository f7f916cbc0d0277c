//! The contract every adapter must pass. One file a port; each case is one async function.
