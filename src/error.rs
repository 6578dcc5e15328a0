//! The one error type: a stable code, and a message that says what was wrong, where, and what to do.

use std::fmt;
use std::path::Path;

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $value:literal,)*) => {
        /// A stable error code. Numbers are grouped, explicit, and never used again for something else.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i32)]
        #[non_exhaustive]
        pub enum Code { $($(#[doc = $doc])* $name = $value,)* }

        impl Code {
            /// Every code, in numeric order.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The number that crosses the C ABI.
            pub const fn number(self) -> i32 { self as i32 }

            /// The code's name, as in the documentation (`Cancelled`).
            pub const fn name(self) -> &'static str {
                match self { $(Code::$name => stringify!($name),)* }
            }

            /// What it means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$name => concat!($($doc),*).trim_ascii(),)* }
            }
        }
    };
}

codes! {
    // 1-99: the call itself.
    /// An argument is out of range or makes no sense here.
    InvalidArgument = 1,
    /// A required pointer is NULL.
    NullPointer = 2,
    /// Text is not valid UTF-8.
    InvalidUtf8 = 3,
    /// No option has that name.
    UnknownOption = 4,
    /// An option's value has the wrong type or is out of range.
    InvalidOption = 5,
    /// The handle is in use by another thread.
    Busy = 6,
    /// An earlier internal failure left this handle unusable: free it.
    Poisoned = 7,
    /// A bug in the library was caught at its border.
    Panic = 8,
    /// The operation was cancelled by its token.
    Cancelled = 9,
    /// Memory could not be allocated.
    OutOfMemory = 10,
    /// The model, build or platform cannot do that.
    Unsupported = 11,
    /// The object is not in a state that allows the call (for example: a job's result taken twice).
    WrongState = 12,
    /// Something that cannot happen did: please report it.
    Internal = 13,
    /// An out-struct's `struct_size` is smaller than the first version of that struct.
    StructSize = 14,

    // 100-199: files.
    /// The file or directory does not exist.
    NotFound = 100,
    /// The operating system denied access.
    PermissionDenied = 101,
    /// Reading or writing failed.
    Io = 102,
    /// The path is a directory, a device, or another thing that cannot be used as a file.
    NotAFile = 103,
    /// The file that should be written is there already.
    OutputExists = 104,
    /// The file that should be written is one that is read.
    OutputIsInput = 105,
    /// A file was written to by somebody else while it was read.
    SourceChanged = 106,

    // 200-299: the GGUF gate. One rule, one code.
    /// The file is shorter than its own structures say.
    GgufTruncated = 200,
    /// The file does not begin with `GGUF`.
    GgufMagic = 201,
    /// The GGUF version is not 2 or 3, or the file has the other byte order.
    GgufVersion = 202,
    /// The number of metadata entries cannot be true for a file of this size.
    GgufKvCount = 203,
    /// The number of tensors cannot be true for a file of this size.
    GgufTensorCount = 204,
    /// A metadata key is empty or too long.
    GgufKey = 205,
    /// A metadata key occurs twice.
    GgufDuplicateKey = 206,
    /// A metadata value has an unknown type.
    GgufValueType = 207,
    /// A string is longer than what is left of the file.
    GgufStringLength = 208,
    /// A string that must be text is not valid UTF-8.
    GgufStringUtf8 = 209,
    /// An array is longer than what is left of the file.
    GgufArrayLength = 210,
    /// An array holds arrays.
    GgufNestedArray = 211,
    /// A boolean is neither 0 nor 1.
    GgufBool = 212,
    /// `general.alignment` is not a power of two, or out of range.
    GgufAlignment = 213,
    /// A tensor's name is empty or too long.
    GgufTensorName = 214,
    /// A tensor's name occurs twice.
    GgufDuplicateTensor = 215,
    /// A tensor has no or too many dimensions.
    GgufTensorDims = 216,
    /// A tensor dimension is zero, or their product overflows.
    GgufTensorShape = 217,
    /// A tensor's type is unknown.
    GgufTensorType = 218,
    /// A tensor's row size is not a multiple of its type's block size.
    GgufTensorBlock = 219,
    /// A tensor's offset is not aligned.
    GgufTensorOffset = 220,
    /// A tensor's data lies outside the file.
    GgufTensorBounds = 221,
    /// Two tensors share bytes.
    GgufTensorOverlap = 222,
    /// A metadata key has the wrong type.
    GgufKeyType = 223,
    /// A required metadata key is missing.
    GgufKeyMissing = 224,
    /// A hyper-parameter is out of range.
    GgufHyperParameter = 225,
    /// Head counts do not divide as they must.
    GgufHeadCount = 226,
    /// The vocabulary's arrays have different lengths, or do not match the embedding's rows.
    GgufVocabLength = 227,
    /// A special token's id is outside the vocabulary.
    GgufSpecialToken = 228,
    /// A required tensor is missing.
    GgufTensorMissing = 229,
    /// A tensor's shape does not follow from the hyper-parameters.
    GgufTensorMismatch = 230,
    /// The architecture is unknown to the engine.
    GgufArchitecture = 231,
    /// The files of a split model do not belong together.
    GgufSplit = 232,
    /// A part of a split model is missing.
    GgufSplitMissing = 233,
    /// The tokenizer is unknown or its data is inconsistent.
    GgufTokenizer = 234,
    /// The file is a GGUF file of another kind (an adapter, a projector, an importance matrix).
    GgufKind = 235,
    /// A metadata array has the wrong element type.
    GgufArrayType = 236,
    /// A token's text is invalid for its vocabulary (empty, duplicate or not text).
    GgufToken = 237,
    /// The engine needs tensors one after the other, and aligned.
    GgufTensorLayout = 238,
    /// A tensor's type cannot be used where the tensor is used.
    GgufTensorRole = 239,
    /// A per-layer array does not have one element for each layer.
    GgufLayerArray = 240,
    /// The counts of a mixture of experts do not fit together.
    GgufExperts = 241,
    /// A merge of the tokenizer is not two pieces.
    GgufMerge = 242,
    /// A token marked as a byte does not name one.
    GgufByteToken = 243,

    // 300-399: model, device, engine.
    /// The engine refused the model.
    ModelLoad = 300,
    /// The engine failed while computing.
    Engine = 301,
    /// No device has that name.
    DeviceNotFound = 302,
    /// The plan does not fit in the available memory.
    DoesNotFit = 303,

    // 400-499: tokenizer and chat templates.
    /// A token id is outside the vocabulary.
    InvalidToken = 400,
    /// The model has no tokenizer.
    NoTokenizer = 401,
    /// The model has no chat template and none was named.
    NoTemplate = 402,
    /// A chat template does not parse.
    TemplateSyntax = 403,
    /// A chat template failed while rendering, or refused the messages.
    TemplateRender = 404,
    /// No built-in template has that name.
    UnknownTemplate = 405,
    /// Messages are malformed for the request.
    InvalidMessages = 406,

    // 500-599: sessions and generation.
    /// The prompt is empty.
    EmptyPrompt = 500,
    /// The prompt is longer than the context.
    PromptTooLong = 501,
    /// The context is full.
    ContextFull = 502,
    /// The model's cache cannot be shifted.
    CannotShift = 503,
    /// A text is longer than the model reads at once.
    EmbeddingTooLong = 510,
    /// The model's file does not say how vectors become one, or the model does not give vectors.
    EmbeddingPooling = 511,
    /// More dimensions were asked for than the model's vectors have.
    EmbeddingDimensions = 512,
    /// The model's file does not say with which token its decoder begins.
    NoDecoderStart = 520,

    // 600-699: state files.
    /// The file is not a session state of a version that this build reads.
    StateFormat = 600,
    /// The state is damaged.
    StateDamaged = 601,
    /// The state belongs to another model, adapter set or cache layout.
    StateForeign = 602,

    // 700-799: adapters.
    /// The adapter does not fit this model.
    AdapterMismatch = 700,
    /// The adapter file is not a LoRA adapter that this build reads.
    AdapterFormat = 701,
    /// A tensor of an adapter is not a part of any pair, or there is none.
    AdapterTensor = 702,
    /// One half of an adapter's pair is missing.
    AdapterPair = 703,
    /// A tensor of an adapter is not a matrix.
    AdapterShape = 704,
    /// The two matrices of a pair have different ranks.
    AdapterRank = 705,
    /// A PEFT directory has no configuration or no weights, or they cannot be understood.
    PeftFormat = 706,
    /// A PEFT adapter does what a GGUF adapter cannot carry, or the other way round.
    PeftUnsupported = 707,
    /// A tensor of a PEFT adapter belongs to no module of its architecture that can be adapted.
    PeftTensor = 708,
    /// The base model that an adapter is for is not given, or does not say what is needed.
    AdapterBase = 709,
    /// The directory for an adapter holds files that are not an adapter's.
    AdapterDirectory = 710,
    /// The adapters cannot be averaged with one another.
    AdapterAverage = 711,

    // 800-899: datasets.
    /// No example is left to learn from.
    DatasetEmpty = 800,
    /// A line of a dataset file is malformed.
    DatasetLine = 801,
    /// The dataset file is not of a format that this build reads, or its header is unusable.
    DatasetFormat = 802,
    /// An example cannot be turned into tokens to learn from.
    DatasetExample = 803,
    /// An example has more tokens than a row.
    DatasetTooLong = 804,
    /// An example's label is not among those that were asked for.
    DatasetLabel = 805,

    // 900-999: training.
    /// A LoRA target is unknown, or the model has no such weight.
    LoraTarget = 900,
    /// The rank does not fit the weights it should adapt.
    LoraRank = 901,
    /// The range of layers to adapt is empty or outside the model.
    LoraLayers = 902,
    /// The file is not a training checkpoint that this build reads, or it is damaged.
    CheckpointFormat = 910,
    /// The checkpoint belongs to another model or dataset.
    CheckpointForeign = 911,
    /// The loss or a gradient is not a finite number.
    TrainingDiverged = 920,

    // 1000-1099: checkpoints of Hugging Face.
    /// A safetensors file is malformed, or holds numbers that cannot be read.
    Safetensors = 1000,
    /// The directory has no weights that can be read, or files that its index names are missing.
    CheckpointFiles = 1001,
    /// A JSON file of a checkpoint is malformed, or lacks what it must say.
    CheckpointConfig = 1002,
    /// No architecture of that name can be converted.
    CheckpointArchitecture = 1003,
    /// A tensor of a checkpoint is missing, there twice, or of no known use.
    CheckpointTensor = 1004,
    /// A tensor of a checkpoint has another shape than its config.json says.
    CheckpointShape = 1005,
    /// A checkpoint's tokenizer is malformed, or its parts do not fit together.
    TokenizerFiles = 1050,
    /// No pre-tokenizer of the engine is known to cut text as this tokenizer does.
    PreTokenizer = 1051,

    // 1100-1199: quantizing.
    /// No type or mix has that name, or a tensor's shape does not allow it.
    QuantizeType = 1100,
    /// A number of a tensor cannot be stored in the type that it shall have.
    TensorValue = 1101,
    /// The file is not an importance matrix that this build reads, or it is damaged.
    ImatrixFormat = 1102,
    /// The text has too few tokens to measure a model with it.
    TextTooShort = 1103,
    /// A tensor cannot be left out: the model needs it.
    TensorNeeded = 1104,

    // 1200-1299: sealed files.
    /// The header of a sealed file is damaged.
    SealHeader = 1200,
    /// The file was sealed in a version of the format that this build does not read.
    SealVersion = 1201,
    /// A sealed file is shorter than its header says.
    SealTruncated = 1202,
    /// A sealed file is longer than its header says.
    SealTrailing = 1203,
    /// The file is encrypted and no key was given.
    SealKeyMissing = 1204,
    /// The file was encrypted with another key.
    SealKeyWrong = 1205,
    /// A key or a key file does not hold a key.
    SealKeyFormat = 1206,
    /// A key was given, but the file is not encrypted.
    SealNotEncrypted = 1207,
    /// A public key was given, but the file is not signed.
    SealNotSigned = 1208,
    /// The file is signed, but not by the owner of the public key.
    SealSigner = 1209,
    /// The signature does not belong to what is in the file.
    SealSignature = 1210,
    /// The manifest of a sealed file is damaged.
    SealManifest = 1211,
    /// A chunk of a sealed file was changed, moved or taken from another file.
    SealChunk = 1212,
    /// A part of a sealed file is not what its manifest says.
    SealDigest = 1213,
    /// The file that should be sealed is sealed already.
    SealAgain = 1214,
}

/// What went wrong: a stable [`Code`] and a message with what, where and the remedy.
#[derive(Debug, Clone)]
pub struct Error {
    code: Code,
    message: String,
}

impl Error {
    /// An error with a code and its message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What was wrong, where, and what to do.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Puts `what` before the message: `what: message`.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Names the file the error is about.
    #[must_use]
    pub fn with_path(self, path: impl AsRef<Path>) -> Self {
        self.context(path.as_ref().display())
    }

    /// An error of the operating system, with a code by its kind and the remedy for the usual ones.
    pub fn io(error: &std::io::Error, doing: impl fmt::Display) -> Self {
        use std::io::ErrorKind as Kind;
        let (code, remedy) = match error.kind() {
            Kind::NotFound => (Code::NotFound, "check the path"),
            Kind::PermissionDenied => (Code::PermissionDenied, "check the permissions"),
            Kind::IsADirectory | Kind::NotADirectory => {
                (Code::NotAFile, "give the path of a regular file")
            }
            Kind::OutOfMemory => (Code::OutOfMemory, "free memory and try again"),
            Kind::StorageFull => (Code::Io, "free space on that disk and try again"),
            _ => (Code::Io, "check the disk and try again"),
        };
        Self::new(code, format!("{doing}: {error}; {remedy}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Adds context to the error of a `Result`, as [`Error::context`] does.
pub trait Context<T> {
    /// Puts `what` before the error's message.
    fn context(self, what: impl fmt::Display) -> Result<T>;
    /// Names the file the error is about.
    fn with_path(self, path: impl AsRef<Path>) -> Result<T>;
}

impl<T> Context<T> for Result<T> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|e| e.context(what))
    }

    fn with_path(self, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|e| e.with_path(path))
    }
}

/// `bail!(Code, "format", ...)`: return an error from this function.
macro_rules! bail {
    ($code:ident, $($arg:tt)*) => {
        return Err($crate::error::Error::new($crate::error::Code::$code, format!($($arg)*)))
    };
}
/// `err!(Code, "format", ...)`: an error value.
macro_rules! err {
    ($code:ident, $($arg:tt)*) => {
        $crate::error::Error::new($crate::error::Code::$code, format!($($arg)*))
    };
}
pub(crate) use {bail, err};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_ascending() {
        assert!(Code::ALL.windows(2).all(|w| w[0].number() < w[1].number()));
    }

    #[test]
    fn context_goes_before_the_message() {
        let e = Error::new(Code::GgufMagic, "bad magic").context("part 2").with_path("m.gguf");
        assert_eq!(e.to_string(), "m.gguf: part 2: bad magic");
        assert_eq!(e.code(), Code::GgufMagic);
    }
}
