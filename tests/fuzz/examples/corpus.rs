//! `corpus` prints the targets; `corpus unpack TARGET FOLDER` writes what is kept of one, with its seeds, into a
//! folder; `corpus pack TARGET FOLDER` keeps what is in the folder.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["unpack", target, folder] => matchpurse_fuzz::unpack(target, Path::new(folder)),
        ["pack", target, folder] => matchpurse_fuzz::pack(target, Path::new(folder)),
        _ => {
            println!("{}", matchpurse_fuzz::targets().join("\n"));
            Ok(())
        }
    }
}
