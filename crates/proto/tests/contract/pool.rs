//! The compiled contract, and its comments.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, FileDescriptor};

pub const PACKAGE: &str = "countersign.v1";

/// The files of the contract; those it imports are somebody else's.
pub fn files() -> Vec<FileDescriptor> {
    let pool = DescriptorPool::decode(countersign_proto::FILE_DESCRIPTOR_SET).expect("the descriptors are well-formed");
    let files: Vec<_> = pool.files().filter(|file| file.name().starts_with("countersign/")).collect();
    assert!(!files.is_empty());
    files
}

/// Comments in front of declarations, by path (descriptor.proto, `SourceCodeInfo.Location.path`).
pub struct Comments(HashMap<Vec<i32>, String>);

impl Comments {
    pub fn of(file: &FileDescriptor) -> Self {
        let info = file.file_descriptor_proto().source_code_info.as_ref().expect("source info is kept");
        let commented = info.location.iter().filter_map(|at| Some((at.path.clone(), at.leading_comments.clone()?)));
        Self(commented.collect())
    }

    /// Empty where there is none.
    pub fn at(&self, path: &[i32]) -> &str {
        self.0.get(path).map_or("", |comment| comment.trim())
    }
}

/// Fails with all findings.
pub fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}
