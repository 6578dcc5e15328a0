//! Opens a model and prints its answer while it is made: `hello MODEL.gguf`

use std::io::Write as _;

use nestling::chat::{Message, Messages};
use nestling::error::{Code, Error};
use nestling::model::Model;
use nestling::options::{GenerationOptions, ModelOptions, SessionOptions};
use nestling::session::Session;

fn main() -> nestling::Result<()> {
    let Some(path) = std::env::args().nth(1) else {
        return Err(Error::new(Code::InvalidArgument, "usage: hello MODEL.gguf"));
    };
    let model = Model::open(path, &ModelOptions::default())?;
    let mut session = Session::new(&model, &SessionOptions::default())?;

    let mut messages = Messages::new();
    messages.push(Message::new("user", "What is a nestling? Answer in one sentence."));

    let mut options = GenerationOptions { max_tokens: 64.into(), ..Default::default() };
    options.sampling.temperature = 0.0;
    for piece in session.generate(messages, &options)? {
        print!("{}", piece?.text);
        std::io::stdout().flush().ok();
    }
    println!();

    let stats = session.stats();
    eprintln!("{} tokens, {:.1} tokens/s", stats.generated_tokens, stats.generation_rate());
    Ok(())
}
