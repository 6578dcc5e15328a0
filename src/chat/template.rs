//! A chat template and its rendering.

use std::io;
use std::sync::Arc;
use std::thread;

use minijinja::{Error as EngineError, Value};
use serde_json::{Map, Value as Json};

use super::environment::{Settings, environment};
use super::escape::{Marks, Rendered, SpecialTexts, replace_strings, strings};
use super::failure::describe;
use super::message::{Message, Messages};
use super::python::MAX_TEXT;
use super::source;
use crate::error::{Code, Error, Result, bail};

/// The stack of the thread that works on a template, whatever the caller's own stack: nesting is limited to what fits.
const STACK: usize = 16 << 20;
/// The largest source, in bytes; real ones have up to 20 thousand.
const MAX_SOURCE: usize = 1 << 20;

/// What a template is rendered with.
#[derive(Debug, Clone, Default)]
pub struct RenderRequest {
    /// The conversation.
    pub messages: Messages,
    /// Tools the model may call, usually a list of JSON schemas.
    pub tools: Option<Json>,
    /// Documents for retrieval-augmented answers.
    pub documents: Option<Json>,
    /// Further variables that the template reads (`enable_thinking`, `date_string`, ...).
    pub variables: Map<String, Json>,
    /// Whether to end with the beginning of the assistant's turn.
    pub add_generation_prompt: bool,
    /// The text of the token that begins a text.
    pub bos_token: Option<String>,
    /// The text of the token that ends a text.
    pub eos_token: Option<String>,
    /// What `strftime_now` shows, in seconds since the Unix epoch, as UTC; `None` is the local time.
    pub now: Option<i64>,
}

impl RenderRequest {
    /// A request for these messages that ends with the beginning of the assistant's turn.
    pub fn new(messages: impl Into<Messages>) -> Self {
        Self { messages: messages.into(), add_generation_prompt: true, ..Self::default() }
    }
}

/// A parsed chat template. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Template {
    source: Arc<str>,
    prepared: Arc<str>,
    /// Whether content must be a list of parts: the template shows no text that is a plain string.
    content_as_list: bool,
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// `TemplateSyntax` names the line and what is wrong there.
    pub fn new(source: impl Into<Arc<str>>) -> Result<Self> {
        let source = source.into();
        if source.len() > MAX_SOURCE {
            bail!(
                TemplateSyntax,
                "the chat template has {} bytes, more than the {MAX_SOURCE} allowed; use a built-in template",
                source.len()
            );
        }
        let mut template =
            Self { prepared: source::prepare(&source).into(), source, content_as_list: false };
        on_own_stack(Code::TemplateSyntax, || {
            let env = environment(Settings::default());
            let parsed = env.template_from_str(&template.prepared);
            parsed.map(|_| ()).map_err(|error| describe(&error, Code::TemplateSyntax))
        })?;
        // A failure here is no fact about the content; the same will be reported when messages are rendered.
        let probe = on_own_stack(Code::TemplateRender, || Ok(template.wants_list()));
        template.content_as_list = probe.unwrap_or(false);
        Ok(template)
    }

    /// The source as given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text of the conversation.
    ///
    /// Special texts that a message contains are not told apart: for text that is to be encoded with special tokens
    /// use [`Template::render_guarded`].
    ///
    /// # Errors
    /// `TemplateRender` names the line and the reason: the template's own refusal, or what it could not do.
    pub fn render(&self, request: &RenderRequest) -> Result<String> {
        let settings = Settings { marks: None, now: request.now };
        on_own_stack(Code::TemplateRender, || self.run(&Context::new(self, request), settings))
    }

    /// The text of the conversation, with the `specials` that the messages, tools, documents and variables contain
    /// told apart from the template's own. Roles are taken as the template's.
    ///
    /// # Errors
    /// As [`Template::render`]; `InvalidMessages` if the input uses up all private-use characters.
    pub fn render_guarded(
        &self,
        request: &RenderRequest,
        specials: &SpecialTexts,
    ) -> Result<Rendered> {
        on_own_stack(Code::TemplateRender, || self.guarded(request, specials))
    }

    fn guarded(&self, request: &RenderRequest, specials: &SpecialTexts) -> Result<Rendered> {
        let context = Context::new(self, request);
        let mut texts = vec![self.source.as_ref()];
        strings(&context.input, &mut |text| texts.push(text));
        let harmless = !texts.iter().skip(1).any(|text| specials.may_touch(text));
        let Some(marks) = Marks::unused_in(texts, specials) else {
            bail!(
                InvalidMessages,
                "the messages use every character of a private-use plane; remove characters above U+F0000"
            )
        };
        let settings = Settings { marks: Some(marks.generation), now: request.now };
        let wrapped = context.with_strings(&|text| marks.wrap(text, specials));
        let rendered = marks.restore(&self.run(&wrapped, settings)?, specials);
        if harmless {
            return Ok(rendered);
        }
        let disguised = context.with_strings(&|text| marks.disguise(text));
        let strict = marks.restore(&self.run(&disguised, settings)?, specials);
        let same = rendered.own_specials(specials) == strict.own_specials(specials);
        Ok(if same { rendered } else { strict })
    }

    fn run(&self, context: &Context, settings: Settings) -> Result<String> {
        let env = environment(settings);
        let render = || {
            let mut out = Bounded(Vec::new());
            env.template_from_str(&self.prepared)?.render_captured_to(context.value(), &mut out)?;
            Ok(String::from_utf8_lossy(&out.0).into_owned())
        };
        render().map_err(|error: EngineError| describe(&error, Code::TemplateRender))
    }

    /// Tries a message both ways. A template that shows neither gets plain strings.
    fn wants_list(&self) -> bool {
        const PROBE: &str = "probe of the content";
        let shows = |content_as_list| {
            let request = RenderRequest::new(vec![Message::new("user", PROBE)]);
            let context = Context::new(&Self { content_as_list, ..self.clone() }, &request);
            self.run(&context, Settings::default()).is_ok_and(|text| text.contains(PROBE))
        };
        !shows(false) && shows(true)
    }
}

/// The variables of one rendering.
struct Context {
    /// What comes from outside and may hold special texts: an object.
    input: Json,
    /// What comes from the vocabulary and the caller's choices.
    own: Map<String, Json>,
}

impl Context {
    fn new(template: &Template, request: &RenderRequest) -> Self {
        let mut input = request.variables.clone();
        input.insert("messages".into(), request.messages.to_json(template.content_as_list));
        input.insert("tools".into(), request.tools.clone().unwrap_or_default());
        input.insert("documents".into(), request.documents.clone().unwrap_or_default());
        let mut own = Map::new();
        for (name, token) in [("bos_token", &request.bos_token), ("eos_token", &request.eos_token)]
        {
            if let (Some(token), false) = (token, input.contains_key(name)) {
                own.insert(name.into(), Json::from(token.as_str()));
            }
        }
        own.insert("add_generation_prompt".into(), Json::from(request.add_generation_prompt));
        Self { input: Json::Object(input), own }
    }

    /// The input's strings replaced, roles excepted: templates build special texts from these (`<|user|>`).
    fn with_strings(&self, replace: &impl Fn(&str) -> String) -> Self {
        let mut input = replace_strings(&self.input, replace);
        let originals = self.input.get("messages").and_then(Json::as_array);
        let messages = input.get_mut("messages").and_then(Json::as_array_mut);
        for (message, original) in
            messages.into_iter().flatten().zip(originals.into_iter().flatten())
        {
            if let (Some(role), Some(original)) = (message.get_mut("role"), original.get("role")) {
                *role = original.clone();
            }
        }
        Self { input, own: self.own.clone() }
    }

    fn value(&self) -> Value {
        let mut all = self.own.clone();
        if let Json::Object(input) = &self.input {
            all.extend(input.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        all.extend(
            self.own.get_key_value("add_generation_prompt").map(|(k, v)| (k.clone(), v.clone())),
        );
        Value::from_serialize(&all)
    }
}

/// Collects what a template writes, up to [`MAX_TEXT`].
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_TEXT {
            return Err(io::Error::other("the template writes too much"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `work` on a thread of its own, whose stack is large enough for every nesting that is allowed, and where a
/// failure of the engine stays an error.
fn on_own_stack<T: Send>(code: Code, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("nestling-template".into()).stack_size(STACK);
        let thread = builder
            .spawn_scoped(scope, work)
            .map_err(|error| Error::io(&error, "cannot start a thread for the chat template"))?;
        thread.join().unwrap_or_else(|_| {
            let message = "chat template: the template engine failed; use another template";
            Err(Error::new(code, message))
        })
    })
}
