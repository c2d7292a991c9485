//! Frames over time: streams, random access, salvage.

