"""Readers: one module per dialect of files. A new one is a module, an import and a name here."""

from hepad.samples.readers.adc2021 import ADC2021
from hepad.samples.readers.base import Reader
from hepad.samples.readers.cms_l1 import L1Anomaly
from hepad.samples.readers.dark_machines import DarkMachines
from hepad.samples.readers.delphes import Delphes
from hepad.samples.readers.jetclass import JetClass
from hepad.samples.readers.jetnet import JetNet
from hepad.samples.readers.l1_ntuple import L1Ntuple
from hepad.samples.readers.lhc_olympics import LHCOlympics
from hepad.samples.readers.nanoaod import NanoAOD
from hepad.samples.readers.ntuple import Mapped
from hepad.samples.readers.physlite import PHYSLITE
from hepad.samples.readers.top_tagging import TopTagging

READERS: dict[str, type[Reader]] = {
    cls.__name__: cls
    for cls in (
        ADC2021, DarkMachines, Delphes, JetClass, JetNet, L1Anomaly, L1Ntuple, LHCOlympics, Mapped, NanoAOD, PHYSLITE,
        TopTagging,
    )
}  # fmt: skip
