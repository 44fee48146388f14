//! Why a document was refused, and where.

/// A refused document: the cause and the byte position in the source it was seen at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{kind} at byte {at}")]
pub struct Error {
    /// Byte offset into the source, byte-order mark included.
    pub at: usize,
    /// What is wrong.
    pub kind: ErrorKind,
}

/// The closed set of causes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum ErrorKind {
    /// Longer than [`Limits::bytes`](crate::Limits::bytes).
    #[error("document over the size limit")]
    TooLarge,
    /// Deeper than [`Limits::depth`](crate::Limits::depth).
    #[error("elements nested over the depth limit")]
    TooDeep,
    /// More than [`Limits::elements`](crate::Limits::elements).
    #[error("more elements than the limit")]
    TooManyElements,
    /// More than [`Limits::attributes`](crate::Limits::attributes) on one element.
    #[error("more attributes on an element than the limit")]
    TooManyAttributes,
    /// Tag longer than [`Limits::attribute_bytes`](crate::Limits::attribute_bytes).
    #[error("attributes of an element over the size limit")]
    AttributesTooLarge,
    /// Nothing but white space.
    #[error("no document")]
    Empty,
    /// Not UTF-8, or declared as something else.
    #[error("encoding is not UTF-8")]
    Encoding,
    /// XML declaration ill-formed, misplaced or of another version.
    #[error("bad XML declaration")]
    Declaration,
    /// A document type declaration: never accepted.
    #[error("document type declaration")]
    Doctype,
    /// A processing instruction: never accepted.
    #[error("processing instruction")]
    ProcessingInstruction,
    /// Character that XML does not allow, literal or by reference.
    #[error("forbidden character")]
    Character,
    /// Reference to an entity that is not predefined, or an ill-formed one.
    #[error("undefined or ill-formed reference")]
    Reference,
    /// Not a name, or more than one colon in it.
    #[error("bad name")]
    Name,
    /// Prefix without declaration.
    #[error("undeclared prefix")]
    Prefix,
    /// Declaration that Namespaces in XML forbids.
    #[error("forbidden namespace declaration")]
    NamespaceDeclaration,
    /// The same attribute twice, by expanded name.
    #[error("duplicate attribute")]
    DuplicateAttribute,
    /// Attribute without quotes, without `=`, without space before it, or with `<` in it.
    #[error("ill-formed attribute")]
    Attribute,
    /// End tag that does not match, or none.
    #[error("unmatched tag")]
    Unmatched,
    /// A second root element.
    #[error("more than one root element")]
    SecondRoot,
    /// Text outside the root element.
    #[error("text outside the root element")]
    OutsideRoot,
    /// Literal `]]>` in text.
    #[error("literal ]]> in text")]
    CDataEnd,
    /// Markup that is none: unclosed comment, section or tag, `--` in a comment.
    #[error("ill-formed markup")]
    Syntax,
}

impl ErrorKind {
    /// Whether the document broke a limit rather than a rule of XML.
    pub fn is_limit(self) -> bool {
        matches!(
            self,
            Self::TooLarge
                | Self::TooDeep
                | Self::TooManyElements
                | Self::TooManyAttributes
                | Self::AttributesTooLarge
        )
    }

    pub(crate) fn at(self, at: usize) -> Error {
        Error { at, kind: self }
    }
}
