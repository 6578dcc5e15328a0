//! `nestling unseal`: the model in a sealed file, without its protection.

use clap::{Arg, ArgAction};
use clap::{ArgMatches, Command};
use nestling::format::{Source, sealed};
use nestling::job::Job;

use crate::failure::Outcome;
use crate::interrupt::{self, Idle, Work};
use crate::output;
use crate::{flags, progress, seal};

pub fn command() -> Command {
    let command = Command::new("unseal")
        .about("Write the model in a sealed file as it was, without protection")
        .after_help(
            "Examples:\n  nestling unseal MODEL.nest -o MODEL.gguf --key-file model.key\n\n\
             Everything is verified before the file is written. To use a sealed model it need not be unsealed.",
        )
        .arg(seal::input("The sealed file"))
        .arg(flags::output("FILE", "The model to write"))
        .arg(
            Arg::new("force")
                .long("force")
                .action(ArgAction::SetTrue)
                .help("Replace the output if it is there already"),
        );
    flags::add_keys(command)
}

pub fn run(matches: &ArgMatches) -> Outcome {
    let keys = flags::keys(matches)?;
    let [from, to] = ["input", "output"].map(|id| flags::path(matches, id));
    let source = Source::path(&from).with_keys(&keys.key, &keys.public_key);
    interrupt::install(Idle::End)?;
    let work = Work::begin();
    let force = matches.get_flag("force");
    let job = Job::spawn("unsealing the model", work.token(), move |monitor| {
        sealed::unseal(&source, &to, force, monitor)
    })?;
    let done = progress::wait(job, "unsealing")?;
    output::facts(&[("model", output::bytes(done.bytes))])
}
