//! The consoles of the README, line by line as they are printed, against a demo.

use std::fmt::Write as _;

use countersign_tests::process::{DemoProcess, folder_of_program, run_in_a_shell};
use serde_json::Value;
use tempfile::TempDir;

/// The members whose values differ from one time to the next. Everything else is the same always.
const VARYING: [&str; 9] =
    ["mfa_token", "secret", "recovery_codes", "oob_code", "id", "code", "at", "binding_code", "authenticator_id"];

/// How members that are left out at the end of an object are printed, and the member that stands for them.
const REST: &str = ",…}";
const MORE: &str = "…";

/// A command that is printed, and the answer that is printed below it.
#[derive(Clone, Debug)]
struct Step {
    command: String,
    answer: String,
}

/// The text below `heading`, up to the next one.
fn section(heading: &str) -> String {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let found = readme.split("\n## ").find(|section| section.starts_with(&format!("{heading}\n")));
    found.unwrap_or_else(|| panic!("nothing is headed {heading}")).to_owned()
}

/// The steps of each console in `section`.
fn consoles(section: &str) -> Vec<Vec<Step>> {
    let blocks = section.split("```console\n").skip(1).map(|block| block.split_once("```").unwrap().0);
    blocks
        .map(|block| {
            let mut steps: Vec<Step> = Vec::new();
            let mut goes_on = false;
            for line in block.split_inclusive('\n') {
                match (line.strip_prefix("$ "), steps.last_mut()) {
                    (Some(command), _) => steps.push(Step { command: command.to_owned(), answer: String::new() }),
                    (None, Some(step)) if goes_on => step.command.push_str(line),
                    (None, Some(step)) => step.answer.push_str(line),
                    (None, None) => panic!("a console begins with {line}"),
                }
                goes_on = line.ends_with("\\\n");
            }
            steps
        })
        .collect()
}

/// A newcomer who does what is printed.
struct Newcomer {
    folder: TempDir,
    _demo: DemoProcess,
    /// What is printed, and what it is here.
    known: Vec<(String, String)>,
    /// Every text in an answer, in order.
    answered: Vec<String>,
    /// Variables that were set, as lines of the shell.
    variables: String,
    /// How many messages were waited for.
    messages: usize,
}

impl Newcomer {
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let demo = DemoProcess::start(&folder.path().join("countersign-demo"), 1).await;
        let port = demo.issuer().trim_start_matches("https://localhost:").trim_end_matches('/').to_owned();
        let program = folder_of_program().join("countersign").display().to_string();
        let curl = run_in_a_shell(folder.path(), "curl --version", "").await.out;
        let known = vec![
            ("localhost:8443".to_owned(), format!("localhost:{port}")),
            ("localhost%3A8443".to_owned(), format!("localhost%3A{port}")),
            ("target/release/countersign".to_owned(), program),
            // Whoever answers on a phone is told what asks.
            ("curl/7.88.1".to_owned(), curl.split(' ').take(2).collect::<Vec<_>>().join("/")),
        ];
        Self { folder, _demo: demo, known, answered: Vec::new(), variables: String::new(), messages: 0 }
    }

    /// What is printed as it is here.
    fn here(&self, printed: &str) -> String {
        // The newest first: of two that are cut short, the same may be printed.
        self.known.iter().rev().fold(printed.to_owned(), |text, (printed, here)| text.replace(printed, here))
    }

    /// Does all of `steps`.
    async fn walk(&mut self, steps: &[Step]) {
        for step in steps {
            self.take(step).await;
        }
    }

    /// Does one, and compares what is answered.
    async fn take(&mut self, Step { command, answer }: &Step) {
        let command = command.trim_end();
        if let Some((name, beginning)) = command.split_once('=').filter(|(_, rest)| rest.ends_with('…')) {
            // What was answered last, which is printed as its beginning.
            let beginning = beginning.trim_end_matches('…');
            let value = self.answered.iter().rfind(|here| here.starts_with(beginning)).unwrap();
            writeln!(self.variables, "{name}='{value}'").unwrap();
            assert_eq!(answer, "", "a variable is set");
            return;
        }
        let on_a_phone = command.starts_with("target/release/countersign device");
        if command.contains("outbox.jsonl") || command.contains("device approve") {
            self.wait_for_a_message().await;
        }
        let (mut answer, mut input) = (self.here(answer), String::new());
        if let Some((_, typed)) = answer.split_once("Number shown where you log in: ") {
            // It is not echoed where nobody types.
            typed.split_inclusive('\n').next().unwrap().clone_into(&mut input);
            answer = answer.replacen(&input, "", 1);
        }
        let both = if on_a_phone { " 2>&1" } else { "" };
        let lines = format!("{}{}{both}", self.variables, self.here(command));
        let done = run_in_a_shell(self.folder.path(), &lines, &input).await;
        assert_eq!(done.code, 0, "{command}: {done:?}");
        if on_a_phone {
            self.compare_words(&answer, &done.out);
        } else {
            self.compare(&answer, &done.out);
        }
    }

    /// Waits for one more message to a person, which notices are not.
    async fn wait_for_a_message(&mut self) {
        self.messages += 1;
        let outbox = self.folder.path().join("countersign-demo/outbox.jsonl");
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(5));
        loop {
            ticks.tick().await;
            let text = std::fs::read_to_string(&outbox).unwrap_or_default();
            // A line that is being written has no end yet.
            let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let asks = |line: &str| line.contains("\"code\":") || line.contains("\"push\":");
            if whole.filter(|line| asks(line)).count() >= self.messages {
                return;
            }
        }
    }

    /// Compares JSON.
    fn compare(&mut self, printed: &str, here: &str) {
        let read = |text: &str| -> Value {
            let whole = text.replace(REST, &format!(",\"{MORE}\":\"\"}}"));
            serde_json::from_str(&whole).unwrap_or_else(|error| panic!("{error}: {whole}"))
        };
        let (shape, here) = (read(printed), read(here));
        self.learn("", &shape, &here);
        compare(&read(&self.here(printed)), &here);
    }

    /// Takes in what differs.
    fn learn(&mut self, member: &str, printed: &Value, here: &Value) {
        if let Value::String(text) = here {
            self.answered.push(text.clone());
        }
        match (printed, here) {
            (Value::Object(printed), Value::Object(members)) => {
                for (name, value) in printed {
                    self.learn(name, value, members.get(name).unwrap_or(&Value::Null));
                }
            }
            (Value::Array(printed), Value::Array(items)) => {
                for (value, item) in printed.iter().zip(items) {
                    self.learn(member, value, item);
                }
            }
            (Value::String(printed), Value::String(text)) if VARYING.contains(&member) => {
                self.alike(printed, text);
                if member == "code" {
                    self.alike(&spoken(printed), &spoken(text));
                }
            }
            (Value::String(printed), Value::String(text)) if member == "barcode_uri" => {
                // Commands name it by its beginning. Its secret has a member of its own.
                self.known.push(("otpauth://totp/…".to_owned(), text.clone()));
                if let [Some(printed), Some(ticket)] = [printed, text].map(|uri| ticket(uri)) {
                    self.alike(printed, ticket);
                }
            }
            _ => {}
        }
    }

    /// Compares two texts word by word. Words with ids in them are alike.
    fn compare_words(&mut self, printed: &str, here: &str) {
        let words = |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
        let (words, found) = (words(printed), words(here));
        assert_eq!(words.len(), found.len(), "{printed}{here}");
        for (word, found) in words.iter().zip(&found).filter(|(word, found)| word != found) {
            assert!(word.contains(|c: char| c.is_ascii_digit()), "{word} is {found}: {printed}{here}");
            self.alike(word, found);
        }
    }

    /// Takes in two values that have the same shape: as long, and with the same beginning.
    fn alike(&mut self, printed: &str, here: &str) {
        let beginning = |text: &str| text.find(['_', '|']).map(|end| text[..=end].to_owned());
        // What is cut short is known by its beginning alone.
        let cut = printed.ends_with('…');
        assert_eq!(beginning(printed), beginning(here), "{printed} is {here}");
        assert!(cut || printed.len() == here.len(), "{printed} is {here}");
        self.known.push((printed.to_owned(), here.to_owned()));
    }
}

/// A code as a call speaks it.
fn spoken(code: &str) -> String {
    code.chars().map(String::from).collect::<Vec<_>>().join(", ")
}

/// The ticket in what a device scans.
fn ticket(uri: &str) -> Option<&str> {
    uri.split_once("enrollment_tx_id=")?.1.split('&').next()
}

/// The same members in the same order, with the same values; `…` stands for what is left out, at the end of texts and of objects.
fn compare(printed: &Value, here: &Value) {
    match (printed, here) {
        (Value::Object(printed), Value::Object(members)) => {
            let mut names: Vec<_> = printed.keys().collect();
            let cut = names.pop_if(|name| *name == MORE).is_some();
            let all = members.keys().take(if cut { names.len() } else { members.len() });
            assert_eq!(names, all.collect::<Vec<_>>(), "{printed:?}");
            for name in names {
                compare(&printed[name], &members[name]);
            }
        }
        (Value::Array(printed), Value::Array(items)) => {
            assert_eq!(printed.len(), items.len(), "{printed:?} is {items:?}");
            printed.iter().zip(items).for_each(|(value, item)| compare(value, item));
        }
        (Value::String(printed), Value::String(text)) if printed.ends_with('…') => {
            assert!(text.starts_with(printed.trim_end_matches('…')), "{printed} is {text}");
        }
        _ => assert_eq!(printed, here),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_login_goes_as_it_is_printed() {
    let mut newcomer = Newcomer::start().await;
    let section = section("A first login");
    let [login, enrolment, grant] = <[_; 3]>::try_from(consoles(&section)).unwrap();
    newcomer.walk(&login).await;
    newcomer.walk(&enrolment).await;
    // No app at hand.
    let app = section.split('`').find(|code| code.starts_with("oathtool ")).unwrap();
    let secret: Value = serde_json::from_str(&enrolment[1].answer).unwrap();
    let shown = newcomer.here(&app.replace("SECRET", secret["secret"].as_str().unwrap()));
    let code = run_in_a_shell(newcomer.folder.path(), &shown, "").await;
    assert_eq!(code.code, 0, "{code:?}");
    let printed = grant[0].command.split("otp=").nth(1).unwrap();
    newcomer.alike(printed.trim(), code.out.trim());
    newcomer.walk(&grant).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_comes_by_text_message_as_it_is_printed() {
    let mut newcomer = Newcomer::start().await;
    let [all] = <[_; 1]>::try_from(consoles(&section("A code by text message"))).unwrap();
    newcomer.walk(&all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_approves_as_it_is_printed() {
    let mut newcomer = Newcomer::start().await;
    let [enrolment, approval] = <[_; 2]>::try_from(consoles(&section("Approve on a phone"))).unwrap();
    newcomer.walk(&enrolment).await;
    // With the first of these commands again.
    newcomer.walk(&enrolment[..1]).await;
    newcomer.walk(&approval).await;
    // The grant as above.
    newcomer.walk(&enrolment[enrolment.len() - 2..]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_five_factors_is_chosen_as_it_is_printed() {
    let mut newcomer = Newcomer::start().await;
    let [telephone] = <[_; 1]>::try_from(consoles(&section("A code by text message"))).unwrap();
    newcomer.walk(&telephone).await;
    let [device, list, choice] = <[_; 3]>::try_from(consoles(&section("Choose"))).unwrap();
    newcomer.walk(&device).await;
    newcomer.walk(&list).await;
    // With the first of these commands again.
    newcomer.walk(&telephone[..1]).await;
    newcomer.walk(&choice).await;
}
